"""A run as MLflow shows it, beside others."""

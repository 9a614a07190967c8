"""Tables of Arrow: Parquet files, and the data sets that Hugging Face's `datasets` saves."""

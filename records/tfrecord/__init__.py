"""The TFRecord format: framing, examples, their wire format."""

"""What is packed: members as they are measured, the choice, the file, its receipt and card."""

"""Makes the bundled demo model: its data, tokenizer, training, export and evaluation."""

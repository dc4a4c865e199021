"""What is written so that it can be read again: models, and what a training needs to go on."""

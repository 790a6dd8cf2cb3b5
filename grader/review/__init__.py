"""People grade the written answers of a class, on a page of their own."""

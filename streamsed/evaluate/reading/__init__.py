"""Reading: tables and folders of the field's tools, made into the data of an evaluation."""

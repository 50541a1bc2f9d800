"""What is told about a project: facts for files, tables and progress for people."""

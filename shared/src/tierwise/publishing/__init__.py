"""What leaves: the topics and types of published changes, their schemas, the document that describes them all."""

"""Tables, figures and pages: gets data and knows nothing of where they come from."""

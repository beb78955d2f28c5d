"""One function a stage: data frames or a prepared log in, a trained model or a report out."""

"""Another model's answers: files of predictions in the forms that kits and servers use, to scores. No torch here."""

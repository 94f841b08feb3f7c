"""Rules as text: a closed language, parsed, checked and traced into the same programs as rules in Python."""

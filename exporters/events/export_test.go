package events

// DefaultMapping is the text of the mapping that is shipped.
func DefaultMapping() []byte { return defaultMapping }

// Package cloudevent decodes the CloudEvents of Kafka records, in one pass and without an allocation, and says of a record
// that it rejects what is wrong with it. It neither knows what an event counts for, nor any client of Kafka.
package cloudevent

import "fmt"

// Record is one record of a partition. Its bytes belong to the caller, and are not kept.
type Record struct {
	Value   []byte
	Headers []Header
	Offset  int64
	// Timestamp is the record's own time in milliseconds since 1970, 0 when unknown.
	Timestamp int64
}

// Header is a header of a record.
type Header struct{ Key, Value []byte }

// Reason says why a record was not counted.
type Reason string

// The closed set of reasons. A duplicate has none.
const (
	Oversize        Reason = "oversized"
	InvalidUTF8     Reason = "not_utf8"
	Empty           Reason = "empty"
	Truncated       Reason = "truncated"
	Syntax          Reason = "syntax"
	TooDeep         Reason = "too_deep"
	RepeatedKey     Reason = "repeated_key"
	DataBase64      Reason = "data_base64"
	ContentType     Reason = "content_type"
	SpecVersion     Reason = "specversion"
	BadAttribute    Reason = "attribute"
	Unmapped        Reason = "unknown_type"
	MissingValue    Reason = "missing_value"
	NotANumber      Reason = "not_a_number"
	NotAnInteger    Reason = "not_an_integer"
	BelowZero       Reason = "below_zero"
	TooLarge        Reason = "too_large"
	UnknownCurrency Reason = "currency"
)

var reasonText = map[Reason]string{
	Oversize:        "the record is larger than the limit",
	InvalidUTF8:     "not valid UTF-8",
	Empty:           "the record is empty",
	Truncated:       "the JSON ends too early",
	Syntax:          "not valid JSON",
	TooDeep:         "the JSON is nested too deeply",
	RepeatedKey:     "the key is repeated",
	DataBase64:      "data_base64 is not read, only JSON in data",
	ContentType:     "the content type is neither application/cloudevents+json nor that of binary mode",
	SpecVersion:     "specversion is not 1.0",
	BadAttribute:    "the attribute is missing, empty or not a string",
	Unmapped:        "the type of the event is not in the mapping",
	MissingValue:    "the value is missing",
	NotANumber:      "the value is not a number",
	NotAnInteger:    "the value is not an integer",
	BelowZero:       "the value is below zero",
	TooLarge:        "the value is too large",
	UnknownCurrency: "the currency is missing or not one of ISO 4217",
}

// Problem says of a record why it was not counted. It repeats nothing of what the record holds, because that may be
// personal: only places, and names that the mapping knows.
type Problem struct {
	Reason Reason
	// Field is where the reason lies, in the words of the mapping, if it lies in a field.
	Field string
	// At is the position in the record's value, from 0, if the reason has one; otherwise -1.
	At int
}

func (p Problem) Error() string {
	text := reasonText[p.Reason]
	if p.Field != "" {
		text = p.Field + ": " + text
	}
	if p.At >= 0 {
		text += fmt.Sprintf(" (byte %d)", p.At)
	}
	return text
}

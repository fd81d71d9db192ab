package aggregate

import "github.com/consignwatch/consignwatch/pkg/catalog"

// Outcome is the outcome of counting a record.
type Outcome uint8

// Every record has one outcome, in this order of precedence from the last to the first: what is oversized or cannot be
// decompressed is not looked into, what is not UTF-8 is not called malformed, a duplicate is well formed.
const (
	Counted Outcome = iota
	Duplicate
	UnknownType
	Malformed
	Oversized
	Undecodable // of a batch that cannot be decompressed: only Skip counts it
	NotUTF8
	outcomes

	// AlreadyCounted is a record before the offset up to which the shard has counted: it is counted already, and changes
	// nothing.
	AlreadyCounted Outcome = 255
)

func (o Outcome) String() string {
	if o < outcomes {
		return catalog.RecordOutcomes()[o]
	}
	return "already_counted"
}

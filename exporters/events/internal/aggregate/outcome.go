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
	// NeedsReplay is a record that is not counted yet, because the replay that was deferred has to come first.
	NeedsReplay Outcome = 254
)

func (o Outcome) String() string {
	switch {
	case o < outcomes:
		return catalog.RecordOutcomes()[o]
	case o == NeedsReplay:
		return "needs_replay"
	}
	return "already_counted"
}

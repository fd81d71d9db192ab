// Package events turns the platform's event stream into exact counters and histograms. This is its core: what lies
// between the bytes of one Kafka record and the families of metrics of one scrape.
//
// A Mapping says which type of CloudEvent feeds which metrics. A Ledger holds what the process has counted, in one
// Shard for each partition. A scrape freezes all shards; what it exposes becomes part of what is delivered only when
// the caller says so. The ledger keeps nothing on disk and talks to nobody: whoever consumes the stream tells it
// where a partition starts, which records follow, and what became of a response.
package events

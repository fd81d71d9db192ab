// Package events turns the platform's event stream into exact counters and histograms. Its core lies between the bytes of
// one Kafka record and the metric families of one scrape.
//
// A Mapping says which type of CloudEvent feeds which metrics. An Aggregator holds the series of the process, in one Shard
// for each partition. A scrape freezes all shards; the values that it exposes become acknowledged only when the response
// was delivered. The Aggregator keeps nothing on disk and does no I/O: the consumer assigns the start offset of a
// partition and counts its records, and the gatherer reports the outcome of each scrape.
package events

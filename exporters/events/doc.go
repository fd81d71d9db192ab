// Package events turns the platform's event stream into exact counters and histograms: it is the event-exporter. It consumes
// the topics as a member of a consumer group, exposes what was counted, and commits an offset only when the response that
// has its records was delivered.
//
// It neither decodes nor counts records itself: internal/mapping says which type of CloudEvent feeds which metrics,
// internal/cloudevent decodes, and internal/aggregate counts.
package events

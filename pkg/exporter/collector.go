// Package exporter is the kit that all exporters of the project share: it collects in the background, keeps the samples
// in immutable snapshots, and holds them to the catalog and its cardinality limits. It never knows what is collected, and
// serves nothing: that is the package web.
package exporter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// Collector is a source of metrics with one or more targets.
type Collector interface {
	// Name is the value of the label `collector`.
	Name() string
	// Schedule says how often and how long each target is collected.
	Schedule() Schedule
	// Targets are what is collected, each on its own: one server, or one per client. The list is read once, when the
	// configuration is loaded.
	Targets() []Target
}

// Target is one thing to collect from.
type Target interface {
	// Name is the value of the label `target`.
	Name() string
	// Collect reads the target and reports its samples to the sink. It returns before ctx ends, and is never called
	// again before it has returned. Values of a collection that returns an error are discarded.
	Collect(ctx context.Context, sink *Sink) error
}

// Schedule says how a collector's targets are collected.
type Schedule struct {
	// Interval is the time from the start of one collection to the start of the next.
	Interval time.Duration
	// Timeout is the deadline of one collection.
	Timeout time.Duration
	// MaxAge is how long the values of the last good collection are exposed after newer ones have failed. It is never
	// less than two intervals and a timeout, so that one failure does not make values vanish.
	MaxAge time.Duration
}

func (s Schedule) maxAge() time.Duration { return max(s.MaxAge, 2*s.Interval+s.Timeout) }

// NewCollector makes a Collector of targets that share a schedule.
func NewCollector(name string, s Schedule, targets ...Target) Collector {
	return targetGroup{name, s, targets}
}

type targetGroup struct {
	name     string
	schedule Schedule
	targets  []Target
}

func (g targetGroup) Name() string       { return g.name }
func (g targetGroup) Schedule() Schedule { return g.schedule }
func (g targetGroup) Targets() []Target  { return g.targets }

// Reason is why a collection failed: one of catalog.Reasons.
type Reason string

// The reasons. Collectors give one with Failure; without one, ReasonOf derives the reason from the error.
const (
	ReasonTimeout    Reason = "timeout"    // the target did not answer in time
	ReasonConnection Reason = "connection" // the target cannot be reached, or the connection broke
	ReasonAuth       Reason = "auth"       // the target rejects the credentials, or denies the privileges
	ReasonThrottled  Reason = "throttled"  // the target asks to come back later
	ReasonQuery      Reason = "query"      // the target rejects the query
	ReasonParse      Reason = "parse"      // the response cannot be parsed
	ReasonCapability Reason = "capability" // the target lacks a feature that the collector needs
	ReasonInternal   Reason = "internal"   // a defect of the exporter
)

// Failure gives an error its reason.
func Failure(reason Reason, err error) error { return &failure{reason, err} }

type failure struct {
	reason Reason
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// ReasonOf returns why a collection failed: by the Failure in the chain of errors, by deadline, by network error.
func ReasonOf(err error) Reason {
	var f *failure
	if errors.As(err, &f) {
		return f.reason
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return ReasonTimeout
	}
	var n net.Error
	if errors.As(err, &n) {
		if n.Timeout() {
			return ReasonTimeout
		}
		return ReasonConnection
	}
	return ReasonInternal
}

func internalf(format string, args ...any) error {
	return Failure(ReasonInternal, fmt.Errorf(format, args...))
}

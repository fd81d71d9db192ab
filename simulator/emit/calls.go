package emit

import (
	"time"

	"github.com/consignwatch/consignwatch/simulator/outside"
	"github.com/consignwatch/consignwatch/simulator/stream"
)

// Events of calls to the external services.

// ExternalCall emits a call that was made.
func (src Source) ExternalCall(service, operation string, c outside.Call) {
	src.Emit(stream.ExternalCall{Service: service, Operation: operation, Outcome: c.Outcome, Duration: stream.Seconds(c.Duration)})
}

// CallError emits the error of a failed call.
func (src Source) CallError(c outside.Call, component string) {
	if !c.OK() {
		src.Emit(stream.ErrorRaised{Category: "integration", Kind: ErrorKind(c), Component: component})
	}
}

// callLike emits a call with the outcome of the last real one.
func (src Source) callLike(service, operation string, last outside.Call) {
	if last.Outcome == "" { // there was no call yet
		src.SyntheticCall(service, operation, outside.OK)
		return
	}
	src.Emit(stream.ExternalCall{Service: service, Operation: operation, Outcome: last.Outcome, Duration: src.Jitter(last.Duration)})
}

// SyntheticCall emits a call to an external service.
func (src Source) SyntheticCall(service, operation, outcome string) {
	took := src.Jitter(180 * time.Millisecond)
	if outcome == "timeout" {
		took = src.Jitter(10 * time.Second)
	}
	src.Emit(stream.ExternalCall{Service: service, Operation: operation, Outcome: outcome, Duration: took})
}

// AuthOutcome returns the outcome of a call, with throttling as an error.
func AuthOutcome(c outside.Call) string {
	if c.Outcome == outside.Throttled {
		return outside.Error
	}
	return c.Outcome
}

// ErrorKind returns the kind of error that a failed call is.
func ErrorKind(c outside.Call) string {
	if c.Outcome == outside.Timeout {
		return "timeout"
	}
	return "api"
}

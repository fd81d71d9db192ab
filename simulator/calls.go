package simulator

import (
	"time"

	"github.com/consignwatch/consignwatch/simulator/outside"
	"github.com/consignwatch/consignwatch/simulator/stream"
)

// Events of calls to the external services.

// externalCall emits a call that was made.
func (src source) externalCall(service, operation string, c outside.Call) {
	src.emit(stream.ExternalCall{Service: service, Operation: operation, Outcome: c.Outcome, Duration: stream.Seconds(c.Duration)})
}

// callError emits the error of a failed call.
func (src source) callError(c outside.Call, component string) {
	if !c.OK() {
		src.emit(stream.ErrorRaised{Category: "integration", Kind: errorKind(c), Component: component})
	}
}

// callLike emits a call with the outcome of the last real one.
func (src source) callLike(service, operation string, last outside.Call) {
	if last.Outcome == "" { // there was no call yet
		src.syntheticCall(service, operation, outside.OK)
		return
	}
	src.emit(stream.ExternalCall{Service: service, Operation: operation, Outcome: last.Outcome, Duration: src.jitter(last.Duration)})
}

// syntheticCall emits a call to an external service.
func (src source) syntheticCall(service, operation, outcome string) {
	took := src.jitter(180 * time.Millisecond)
	if outcome == "timeout" {
		took = src.jitter(10 * time.Second)
	}
	src.emit(stream.ExternalCall{Service: service, Operation: operation, Outcome: outcome, Duration: took})
}

// authOutcome returns the outcome of a call, with throttling as an error.
func authOutcome(c outside.Call) string {
	if c.Outcome == outside.Throttled {
		return outside.Error
	}
	return c.Outcome
}

// errorKind returns the kind of error that a failed call is.
func errorKind(c outside.Call) string {
	if c.Outcome == outside.Timeout {
		return "timeout"
	}
	return "api"
}

package emit

import (
	"time"

	"github.com/consignwatch/consignwatch/simulator/stream"
)

// Outcomes of a call.
const (
	OK        = "ok"
	Failed    = "error"
	TimedOut  = "timeout"
	Throttled = "throttled"
)

// Call is the outcome of a call to a service.
type Call struct {
	Outcome  string
	Duration time.Duration
	// Down says that the service is down: there was no response, or a server error. Otherwise the service refused the request.
	Down bool
}

// OK reports whether the call succeeded. The zero Call, before the first one, is OK, too.
func (c Call) OK() bool { return c.Outcome == OK || c.Outcome == "" }

// ExternalCall emits a call that was made.
func (src Source) ExternalCall(service, operation string, c Call) {
	src.Emit(stream.ExternalCall{Service: service, Operation: operation, Outcome: c.Outcome, Duration: stream.Seconds(c.Duration)})
}

// CallError emits the error of a failed call.
func (src Source) CallError(c Call, component string) {
	if !c.OK() {
		src.Emit(stream.ErrorRaised{Category: "integration", Kind: ErrorKind(c), Component: component})
	}
}

// callLike emits a call with the outcome of the last real one.
func (src Source) callLike(service, operation string, last Call) {
	if last.Outcome == "" { // there was no call yet
		src.SyntheticCall(service, operation, OK)
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
func AuthOutcome(c Call) string {
	if c.Outcome == Throttled {
		return Failed
	}
	return c.Outcome
}

// ErrorKind returns the kind of error that a failed call is.
func ErrorKind(c Call) string {
	if c.Outcome == TimedOut {
		return "timeout"
	}
	return "api"
}

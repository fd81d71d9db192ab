package shopify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// outcome is the outcome of a request to Shopify: one of catalog.ShopifyOutcomes.
type outcome string

const (
	outcomeOK              outcome = "ok"
	outcomeThrottled       outcome = "throttled"        // 429, or the bucket is empty
	outcomeAuth            outcome = "auth"             // 401: the token is wrong or has expired
	outcomeForbidden       outcome = "forbidden"        // 403, 430, or a scope is missing
	outcomeNotFound        outcome = "not_found"        // 404: no such shop, or no such version
	outcomeFrozen          outcome = "frozen"           // 402: the shop has not been paid for
	outcomeLocked          outcome = "locked"           // 423: Shopify has locked the shop
	outcomeServerError     outcome = "server_error"     // 5xx, or no connection could be made or kept
	outcomeTimeout         outcome = "timeout"          // no complete response in time, or 504
	outcomeInvalidResponse outcome = "invalid_response" // not a response of the API: no JSON, too long, a redirect, incomplete data
	outcomeOther           outcome = "other"            // rejected for a reason without an outcome of its own
)

// requestError is a failed request, with its outcome.
type requestError struct {
	outcome outcome
	err     error
}

func (e *requestError) Error() string { return e.err.Error() }
func (e *requestError) Unwrap() error { return e.err }

// errorf makes an error with its outcome, and with the reason that belongs to it.
func errorf(o outcome, format string, args ...any) error {
	return exporter.Failure(o.reason(), &requestError{o, fmt.Errorf(format, args...)})
}

// outcomeOf is the outcome of a request that ended with the error.
func outcomeOf(err error) outcome {
	var e *requestError
	switch {
	case err == nil:
		return outcomeOK
	case errors.As(err, &e):
		return e.outcome
	}
	return outcomeOther
}

// reason is the reason of a collection whose request had the outcome.
func (o outcome) reason() exporter.Reason {
	switch o {
	case outcomeThrottled:
		return exporter.ReasonThrottled
	case outcomeAuth, outcomeForbidden, outcomeFrozen, outcomeLocked:
		return exporter.ReasonAuth
	case outcomeServerError:
		return exporter.ReasonConnection
	case outcomeTimeout:
		return exporter.ReasonTimeout
	case outcomeInvalidResponse:
		return exporter.ReasonParse
	}
	return exporter.ReasonQuery
}

// outcomeOfStatus derives the outcome from the status code alone.
func outcomeOfStatus(status int) outcome {
	switch status {
	case http.StatusOK:
		return outcomeOK
	case http.StatusUnauthorized:
		return outcomeAuth
	case http.StatusPaymentRequired:
		return outcomeFrozen
	case http.StatusForbidden, 430: // 430 is Shopify's own: rejected for security
		return outcomeForbidden
	case http.StatusNotFound:
		return outcomeNotFound
	case http.StatusLocked:
		return outcomeLocked
	case http.StatusTooManyRequests:
		return outcomeThrottled
	case http.StatusGatewayTimeout:
		return outcomeTimeout
	}
	switch {
	case status >= 500:
		return outcomeServerError
	case status < 400:
		return outcomeInvalidResponse
	}
	return outcomeOther
}

// outcomeOfCode derives the outcome from the code of a GraphQL error.
func outcomeOfCode(code string) outcome {
	switch code {
	case "THROTTLED":
		return outcomeThrottled
	case "ACCESS_DENIED":
		return outcomeForbidden
	case "SHOP_INACTIVE":
		return outcomeFrozen
	case "INTERNAL_SERVER_ERROR":
		return outcomeServerError
	case "TIMEOUT":
		return outcomeTimeout
	}
	return outcomeOther
}

// outcomeOfFailure derives the outcome from a transport error.
func outcomeOfFailure(err error) outcome {
	var n net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout() {
		return outcomeTimeout
	}
	return outcomeServerError
}

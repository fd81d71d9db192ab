package integration

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
	shopOK        outcome = "ok"
	shopThrottled outcome = "throttled"        // 429, or the bucket is empty
	shopAuth      outcome = "auth"             // 401: the token is wrong or has expired
	shopForbidden outcome = "forbidden"        // 403, 430, or a scope is missing
	shopNotFound  outcome = "not_found"        // 404: no such shop, or no such version
	shopFrozen    outcome = "frozen"           // 402: the shop has not been paid for
	shopLocked    outcome = "locked"           // 423: Shopify has locked the shop
	shopServer    outcome = "server_error"     // 5xx, or no connection could be made or kept
	shopTimeout   outcome = "timeout"          // no complete response in time, or 504
	shopInvalid   outcome = "invalid_response" // not a response of the API: no JSON, too long, a redirect, incomplete data
	shopOther     outcome = "other"            // rejected for a reason without an outcome of its own
)

// shopError is a failed request, with its outcome.
type shopError struct {
	outcome outcome
	err     error
}

func (e *shopError) Error() string { return e.err.Error() }
func (e *shopError) Unwrap() error { return e.err }

// shopErrorf makes an error with its outcome, and with the reason that belongs to it.
func shopErrorf(o outcome, format string, args ...any) error {
	return exporter.Failure(o.reason(), &shopError{o, fmt.Errorf(format, args...)})
}

// shopOutcome is the outcome of a request that ended with the error.
func shopOutcome(err error) outcome {
	var e *shopError
	switch {
	case err == nil:
		return shopOK
	case errors.As(err, &e):
		return e.outcome
	}
	return shopOther
}

// reason is the reason of a collection whose request had the outcome.
func (o outcome) reason() exporter.Reason {
	switch o {
	case shopThrottled:
		return exporter.ReasonThrottled
	case shopAuth, shopForbidden, shopFrozen, shopLocked:
		return exporter.ReasonAuth
	case shopServer:
		return exporter.ReasonConnection
	case shopTimeout:
		return exporter.ReasonTimeout
	case shopInvalid:
		return exporter.ReasonParse
	}
	return exporter.ReasonQuery
}

// outcomeOfStatus derives the outcome from the status code alone.
func outcomeOfStatus(status int) outcome {
	switch status {
	case http.StatusOK:
		return shopOK
	case http.StatusUnauthorized:
		return shopAuth
	case http.StatusPaymentRequired:
		return shopFrozen
	case http.StatusForbidden, 430: // 430 is Shopify's own: rejected for security
		return shopForbidden
	case http.StatusNotFound:
		return shopNotFound
	case http.StatusLocked:
		return shopLocked
	case http.StatusTooManyRequests:
		return shopThrottled
	case http.StatusGatewayTimeout:
		return shopTimeout
	}
	switch {
	case status >= 500:
		return shopServer
	case status < 400:
		return shopInvalid
	}
	return shopOther
}

// outcomeOfCode derives the outcome from the code of a GraphQL error.
func outcomeOfCode(code string) outcome {
	switch code {
	case "THROTTLED":
		return shopThrottled
	case "ACCESS_DENIED":
		return shopForbidden
	case "SHOP_INACTIVE":
		return shopFrozen
	case "INTERNAL_SERVER_ERROR":
		return shopServer
	case "TIMEOUT":
		return shopTimeout
	}
	return shopOther
}

// outcomeOfFailure derives the outcome from a transport error.
func outcomeOfFailure(err error) outcome {
	var n net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout() {
		return shopTimeout
	}
	return shopServer
}

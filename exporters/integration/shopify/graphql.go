package shopify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// query is a query of the GraphQL Admin API.
type query struct {
	operation    string // as the metrics name it
	text         string
	variables    any
	points       float64 // its maximum cost, approximately
	lowPriority  bool    // it leaves the reserve of the bucket to others
	extraReserve float64 // further points that it leaves to the exporter's more important queries
}

// points is the cost of a list of n nodes: Shopify does not publish the formula, this is what is measured.
func points(n int) float64 { return 2 + float64(n) }

// pageSize is the maximum number of nodes of a page.
const pageSize = 250

// result is the data of a query's response. check verifies that it is complete.
type result interface{ check() error }

// errIncomplete says that a response lacks a part of the query.
var errIncomplete = errors.New("the answer lacks a part that was asked for")

// pageInfo is the PageInfo of a list.
type pageInfo struct {
	HasNextPage bool   `json:"hasNextPage"`
	EndCursor   string `json:"endCursor"`
}

// checkNext rejects a page of n nodes that has a next page, but no usable cursor to it.
func (p pageInfo) checkNext(after string, n int) error {
	if p.HasNextPage && (n == 0 || p.EndCursor == "" || p.EndCursor == after) {
		return exporter.Failure(exporter.ReasonParse, errors.New("the list has another page, but no cursor to it"))
	}
	return nil
}

// mustRestart reports whether the cursor may be the reason of an error, so that the list is read from its first page.
func mustRestart(err error) bool {
	return err != nil && (exporter.ReasonOf(err) == exporter.ReasonQuery || exporter.ReasonOf(err) == exporter.ReasonParse)
}

// cursor is the cursor of the next page; nil for the first page.
func cursor(at string) *string {
	if at == "" {
		return nil
	}
	return &at
}

// resourceID is an UnsignedInt64, which JSON shows as a string.
type resourceID uint64

// UnmarshalJSON reads a string of digits, or a number.
func (r *resourceID) UnmarshalJSON(text []byte) error {
	n, err := strconv.ParseUint(strings.Trim(string(text), `"`), 10, 64)
	if err != nil {
		return fmt.Errorf("%.40q is not the number of a resource", text)
	}
	*r = resourceID(n)
	return nil
}

// envelope is what all responses have in common.
type envelope struct {
	Data       json.RawMessage `json:"data"`
	Errors     apiErrors       `json:"errors"`
	Extensions struct {
		Cost *queryCost `json:"cost"`
		// Search are warnings: terms of a search that Shopify has ignored, so that it finds too much.
		Search []json.RawMessage `json:"search"`
	} `json:"extensions"`
}

// queryCost is the cost of a query, and the points that remain.
type queryCost struct {
	Requested float64 `json:"requestedQueryCost"`
	Throttle  *struct {
		Maximum   float64 `json:"maximumAvailable"`
		Available float64 `json:"currentlyAvailable"`
		Restore   float64 `json:"restoreRate"`
	} `json:"throttleStatus"`
}

// apiErrors is the member `errors`: a list of objects from GraphQL, a string or an object from a server before it.
type apiErrors []apiError

type apiError struct {
	Message    string `json:"message"`
	Extensions struct {
		Code string `json:"code"`
	} `json:"extensions"`
}

// UnmarshalJSON reads all shapes; an unknown one becomes a message.
func (e *apiErrors) UnmarshalJSON(text []byte) error {
	text = bytes.TrimSpace(text)
	if string(text) == "null" || string(text) == "[]" {
		return nil
	}
	var message string
	switch {
	case text[0] == '[' && json.Unmarshal(text, (*[]apiError)(e)) == nil:
	case json.Unmarshal(text, &message) == nil:
		*e = apiErrors{{Message: message}}
	default:
		*e = apiErrors{{Message: string(text)}}
	}
	return nil
}

// outcome is the outcome of all errors together: a specific one before shopOther, and one that concerns the client or
// Shopify as a whole before one of a single part of the query.
func (e apiErrors) outcome() outcome {
	rank := []outcome{outcomeThrottled, outcomeFrozen, outcomeServerError, outcomeTimeout, outcomeForbidden}
	for _, o := range rank {
		for _, one := range e {
			if outcomeOfCode(one.Extensions.Code) == o {
				return o
			}
		}
	}
	return outcomeOther
}

func (e apiErrors) String() string {
	var b strings.Builder
	for i, one := range e {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(one.Message)
		if one.Extensions.Code != "" {
			b.WriteString(" (" + one.Extensions.Code + ")")
		}
	}
	return b.String()
}

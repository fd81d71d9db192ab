package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// query is a question to the GraphQL Admin API.
type query struct {
	operation string // as the metrics name it
	text      string
	variables any
	points    float64 // that it costs at the most, about
	canWait   bool    // it leaves the reserve of the bucket to others
	leaves    float64 // points besides, for our own questions that matter more
}

// points is what a list of n things costs: Shopify does not publish the formula, this is what is measured.
func points(n int) float64 { return 2 + float64(n) }

// pageSize is as many things as one page can have.
const pageSize = 250

// answer is the data that a query asks for. It knows what must be there.
type answer interface{ check() error }

// errLacks says that an answer lacks a part that was asked for.
var errLacks = errors.New("the answer lacks a part that was asked for")

// page is the information about a page of a list.
type page struct {
	HasNextPage bool   `json:"hasNextPage"`
	EndCursor   string `json:"endCursor"`
}

// goesOn refuses a page with so many things that promises another one and does not lead to it.
func (p page) goesOn(after string, n int) error {
	if p.HasNextPage && (n == 0 || p.EndCursor == "" || p.EndCursor == after) {
		return exporter.Failure(exporter.ReasonParse, errors.New("the list has another page, but no cursor to it"))
	}
	return nil
}

// beginsAnew reports whether the place in a list may be what was wrong, so that it is read from its begin.
func beginsAnew(err error) bool {
	return err != nil && (exporter.ReasonOf(err) == exporter.ReasonQuery || exporter.ReasonOf(err) == exporter.ReasonParse)
}

// cursor is the place at which the next page begins; nil for the first page of all.
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

// envelope is what all answers have in common.
type envelope struct {
	Data       json.RawMessage `json:"data"`
	Errors     apiErrors       `json:"errors"`
	Extensions struct {
		Cost *queryCost `json:"cost"`
		// Search are warnings: terms of a search that Shopify has left out, so that it finds too much.
		Search []json.RawMessage `json:"search"`
	} `json:"extensions"`
}

// queryCost says what a query was worth, and what is left.
type queryCost struct {
	Requested float64 `json:"requestedQueryCost"`
	Throttle  *struct {
		Maximum   float64 `json:"maximumAvailable"`
		Available float64 `json:"currentlyAvailable"`
		Restore   float64 `json:"restoreRate"`
	} `json:"throttleStatus"`
}

// apiErrors are what stands under `errors`: a list of objects where GraphQL answers, a string or an object where something
// before it does.
type apiErrors []apiError

type apiError struct {
	Message    string `json:"message"`
	Extensions struct {
		Code string `json:"code"`
	} `json:"extensions"`
}

// UnmarshalJSON reads all shapes; one that it does not know becomes a message as it stands.
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

// worst is the outcome that the errors mean together: one that has a name before one that has none, and what lies with us
// or with Shopify as a whole before what a single part of the question has met.
func (e apiErrors) worst() outcome {
	rank := []outcome{shopThrottled, shopFrozen, shopServer, shopTimeout, shopForbidden}
	for _, o := range rank {
		for _, one := range e {
			if outcomeOfCode(one.Extensions.Code) == o {
				return o
			}
		}
	}
	return shopOther
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

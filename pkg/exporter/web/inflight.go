package web

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// inFlight bounds the scrapes in flight. A client that does not read keeps nobody out: beyond the limit, a new scrape takes
// the place of the oldest one that is writing its response, whose connection is cut off.
type inFlight struct {
	limit int // 0: none

	mu      sync.Mutex
	scrapes []*scrapeInFlight // the oldest first
}

type scrapeInFlight struct {
	connection *http.ResponseController
	writing    bool
}

// begin gives a scrape a place. It returns nil when there is none: that many are being gathered.
func (f *inFlight) begin(connection *http.ResponseController) *scrapeInFlight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.limit > 0 && len(f.scrapes) == f.limit {
		oldest := slices.IndexFunc(f.scrapes, func(s *scrapeInFlight) bool { return s.writing })
		if oldest < 0 {
			return nil
		}
		f.scrapes[oldest].connection.SetWriteDeadline(time.Unix(1, 0)) // long ago
		f.scrapes = slices.Delete(f.scrapes, oldest, oldest+1)
	}
	s := &scrapeInFlight{connection: connection}
	f.scrapes = append(f.scrapes, s)
	return s
}

// write says that the scrape is gathered: from now on it depends on its client how long it takes.
func (f *inFlight) write(s *scrapeInFlight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.writing = true
}

// end frees the place of a scrape, if no other one has taken it.
func (f *inFlight) end(s *scrapeInFlight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scrapes = slices.DeleteFunc(f.scrapes, func(other *scrapeInFlight) bool { return other == s })
}

package events

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordPool lends the client of the reader the slices in which it decodes batches. They come back when the last record of a
// batch is recycled, which the handler does once all are counted. It implements kgo.PoolRecords.
type recordPool struct{ free sync.Pool }

// GetRecords returns a slice for n records. A slice that is too short for them is dropped: after some batches those that are
// long enough for the batches of this stream remain.
func (p *recordPool) GetRecords(n int) []kgo.Record {
	if records, ok := p.free.Get().(*[]kgo.Record); ok && cap(*records) >= n {
		return *records
	}
	return make([]kgo.Record, n)
}

// PutRecords takes a slice back, whose records are empty.
func (p *recordPool) PutRecords(records []kgo.Record) { p.free.Put(&records) }

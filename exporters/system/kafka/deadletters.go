package kafka

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/IBM/sarama"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// The dead letters are counted by reading them: a header names the queue that one came from. The counts are kept in blocks of
// offsets, so that a round reads only new records; when old records expire, whole blocks are deleted, and the rest of a block
// is read again. After a start the whole topic is read, a bounded part in each round, and no count is reported until all of
// it was read: the count of a part would be too low.

const (
	deadLetterBlock = 1024 // offsets
	// deadLetterBytes and deadLetterFetches bound what a round reads from a broker.
	deadLetterBytes   = 4 << 20
	deadLetterFetches = 6
	// maxDeadLetterQueues bounds the number of queues, and maxDeadLetterName the length of their names: the header could hold
	// anything.
	maxDeadLetterQueues = 100
	maxDeadLetterName   = 249
)

// deadLetters counts the dead letters of a cluster.
type deadLetters struct {
	topic      *queueTopic
	generation int
	partitions []deadPartition
	counts     map[string]*cachedValue // by queue
}

// deadPartition counts those of a partition.
type deadPartition struct {
	queues     map[string]string // names of queues, so that each is allocated once
	blocks     []deadBlock
	next       int64 // offset up to which letters are counted, or unknown
	rereadFrom int64 // offset from which the rest of the first block has to be read again, or unknown
	complete   bool  // the whole partition has been read once
}

// deadBlock counts the letters from an offset to before another.
type deadBlock struct {
	from, to int64
	counts   map[string]int
}

// setTopic sets the topic, and deletes the counts of letters that are gone.
func (d *deadLetters) setTopic(topic *queueTopic) {
	if topic == nil {
		*d = deadLetters{}
		return
	}
	if d.topic != topic || d.generation != topic.generation {
		*d = deadLetters{topic: topic, generation: topic.generation, counts: map[string]*cachedValue{}}
	}
	for len(d.partitions) < len(topic.partitions) {
		d.partitions = append(d.partitions, deadPartition{queues: map[string]string{}, next: unknown, rereadFrom: unknown})
	}
	for i := range d.partitions {
		if of := &topic.partitions[i]; of.oldest != unknown && of.newest != unknown {
			d.partitions[i].trim(of.oldest, of.newest)
		}
	}
}

// trim deletes the counts of letters before the oldest offset.
func (p *deadPartition) trim(oldest, newest int64) {
	if p.next < oldest || p.next > newest {
		p.blocks, p.next, p.rereadFrom = nil, oldest, unknown
	}
	for len(p.blocks) > 0 && p.blocks[0].to <= oldest {
		p.blocks, p.rereadFrom = p.blocks[1:], unknown
	}
	if len(p.blocks) > 0 && p.blocks[0].from < oldest {
		p.blocks[0].from, p.blocks[0].counts = oldest, map[string]int{}
		p.rereadFrom = oldest
	}
	p.complete = p.complete || p.next >= newest
}

// count adds a letter.
func (p *deadPartition) count(offset int64, queue string) {
	if p.rereadFrom != unknown {
		p.blocks[0].counts[queue]++
		return
	}
	last := len(p.blocks) - 1
	if last < 0 || p.blocks[last].from/deadLetterBlock != offset/deadLetterBlock {
		p.blocks = append(p.blocks, deadBlock{from: offset, counts: map[string]int{}})
		last++
	}
	p.blocks[last].to = offset + 1
	p.blocks[last].counts[queue]++
}

// cursor is the next offset to read, and the offset to stop before.
func (p *deadPartition) cursor(newest int64) (from, to int64) {
	if p.rereadFrom != unknown {
		return p.rereadFrom, p.blocks[0].to
	}
	return p.next, newest
}

// advance moves the cursor to an offset.
func (p *deadPartition) advance(to int64) {
	switch {
	case p.rereadFrom == unknown:
		p.next = max(p.next, to)
	case to >= p.blocks[0].to:
		p.rereadFrom = unknown
	default:
		p.rereadFrom = max(p.rereadFrom, to)
	}
}

// readDeadLetters reads on in the partitions of one broker.
func (t *Target) readDeadLetters(ctx context.Context, id int32, b *brokerConn) error {
	d := &t.dead
	if d.topic == nil {
		return nil
	}
	fetches := 0
	for i := range d.partitions {
		p, of := &d.partitions[i], &d.topic.partitions[i]
		if of.leader != id || of.newest == unknown || of.oldest == unknown {
			continue
		}
		for fetches < deadLetterFetches {
			from, to := p.cursor(of.newest)
			if from >= to {
				p.complete = true
				break
			}
			fetches++
			blocks, err := b.fetch(ctx, []position{{d.topic.name, int32(i), from}}, deadLetterBytes, deadLetterBytes)
			if err != nil {
				return fmt.Errorf("dead letters: %w", err)
			}
			block := blocks[d.topic.name][int32(i)]
			if block == nil {
				break
			}
			if block.Err != sarama.ErrNoError {
				return fmt.Errorf("dead letters: partition %d of %s: %w", i, d.topic.name, block.Err)
			}
			moved := p.add(block, from, to, t.config.DeadLetters.Header)
			if p.next >= block.LastStableOffset {
				p.complete = true // the transactions that follow are open: their letters do not count yet
			}
			if !moved {
				break
			}
		}
	}
	return nil
}

// add counts the letters of a response from an offset to before another, and reports whether it has moved the cursor.
func (p *deadPartition) add(block *sarama.FetchResponseBlock, from, to int64, header string) bool {
	reached := from
	for batch, letters := range batches(block) {
		if batch == nil {
			break
		}
		for _, record := range batch.Records {
			if offset := batch.FirstOffset + record.OffsetDelta; letters && offset >= reached && offset < to {
				p.count(offset, p.queueOf(record, header))
			}
		}
		reached = max(reached, batch.LastOffset()+1)
	}
	p.advance(min(reached, to))
	return reached > from
}

// queueOf is the queue that a dead letter came from, or other without the header, or when there are too many.
func (p *deadPartition) queueOf(record *sarama.Record, header string) string {
	for _, h := range record.Headers {
		if string(h.Key) != header {
			continue
		}
		if known, ok := p.queues[string(h.Value)]; ok {
			return known // without a copy for each letter
		}
		if len(h.Value) == 0 || len(h.Value) > maxDeadLetterName || !utf8.Valid(h.Value) || len(p.queues) >= maxDeadLetterQueues {
			break
		}
		queue := string(h.Value)
		p.queues[queue] = queue
		return queue
	}
	return catalog.Other
}

// updateCounts sums the blocks, when all of them are complete. A queue that has no letter left stays, with 0.
func (d *deadLetters) updateCounts(now time.Time) {
	sums, others := map[string]int{}, 0
	for i := range d.partitions {
		p := &d.partitions[i]
		if !p.complete || p.rereadFrom != unknown {
			return
		}
		for _, b := range p.blocks {
			for queue, n := range b.counts {
				if _, known := d.counts[queue]; !known && len(d.counts) >= maxDeadLetterQueues {
					others += n
					continue
				} else if !known {
					d.counts[queue] = &cachedValue{}
				}
				sums[queue] += n
			}
		}
	}
	if others > 0 {
		sums[catalog.Other] += others
		if d.counts[catalog.Other] == nil {
			d.counts[catalog.Other] = &cachedValue{}
		}
	}
	for queue, v := range d.counts {
		v.set(float64(sums[queue]), now)
	}
}

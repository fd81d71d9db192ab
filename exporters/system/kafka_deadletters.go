package system

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/IBM/sarama"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// The dead letters are counted by reading them: which queue one came from says a header. What was counted stays counted, in
// blocks of offsets, so that a round reads only what is new; when old ones go, whole blocks go, and what is left of one is read
// again. After a start the whole topic is read, a bounded part in each round, and nothing is told until it is through: a part
// would look like few.

const (
	deadLetterBlock = 1024 // offsets
	// deadLetterBytes and deadLetterFetches bound what a round reads from a broker.
	deadLetterBytes   = 4 << 20
	deadLetterFetches = 6
	// maxDeadLetterQueues bounds how many queues are told apart, and maxDeadLetterName their names: the header could hold
	// anything.
	maxDeadLetterQueues = 100
	maxDeadLetterName   = 249
)

// deadLetters counts the dead letters of a cluster.
type deadLetters struct {
	topic      *queueTopic
	generation int
	partitions []deadPartition
	counts     map[string]*held // by queue
}

// deadPartition counts those of a partition.
type deadPartition struct {
	queues  map[string]string // those that are told apart
	blocks  []deadBlock
	next    int64 // what comes before is counted, but for what is read again; or unknown
	again   int64 // from here to the end of the first block has to be read again; or unknown
	through bool  // all that was there has been read once
}

// deadBlock counts the letters from an offset to before another.
type deadBlock struct {
	from, to int64
	counts   map[string]int
}

// follow takes over which topic it is now, and forgets the letters that are gone.
func (d *deadLetters) follow(topic *queueTopic) {
	if topic == nil {
		*d = deadLetters{}
		return
	}
	if d.topic != topic || d.generation != topic.generation {
		*d = deadLetters{topic: topic, generation: topic.generation, counts: map[string]*held{}}
	}
	for len(d.partitions) < len(topic.partitions) {
		d.partitions = append(d.partitions, deadPartition{queues: map[string]string{}, next: unknown, again: unknown})
	}
	for i := range d.partitions {
		if of := &topic.partitions[i]; of.oldest != unknown && of.newest != unknown {
			d.partitions[i].trim(of.oldest, of.newest)
		}
	}
}

// trim forgets the letters before the oldest offset.
func (p *deadPartition) trim(oldest, newest int64) {
	if p.next < oldest || p.next > newest {
		p.blocks, p.next, p.again = nil, oldest, unknown
	}
	for len(p.blocks) > 0 && p.blocks[0].to <= oldest {
		p.blocks, p.again = p.blocks[1:], unknown
	}
	if len(p.blocks) > 0 && p.blocks[0].from < oldest {
		p.blocks[0].from, p.blocks[0].counts = oldest, map[string]int{}
		p.again = oldest
	}
	p.through = p.through || p.next >= newest
}

// count adds a letter.
func (p *deadPartition) count(offset int64, queue string) {
	if p.again != unknown {
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

// cursor is where to read on, and before which offset to stop.
func (p *deadPartition) cursor(newest int64) (from, to int64) {
	if p.again != unknown {
		return p.again, p.blocks[0].to
	}
	return p.next, newest
}

// advance says that all before an offset is counted.
func (p *deadPartition) advance(to int64) {
	switch {
	case p.again == unknown:
		p.next = max(p.next, to)
	case to >= p.blocks[0].to:
		p.again = unknown
	default:
		p.again = max(p.again, to)
	}
}

// readDeadLetters reads on in the partitions of one broker.
func (t *kafkaTarget) readDeadLetters(ctx context.Context, id int32, l *kafkaLink) error {
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
				p.through = true
				break
			}
			fetches++
			blocks, err := l.fetch(ctx, []position{{d.topic.name, int32(i), from}}, deadLetterBytes, deadLetterBytes)
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
			if !p.take(block, from, to, t.config.DeadLetters.Header) {
				break
			}
		}
	}
	return nil
}

// take counts the letters of an answer from an offset to before another, and reports whether it brought the cursor forward.
func (p *deadPartition) take(block *sarama.FetchResponseBlock, from, to int64, header string) bool {
	reached := from
	for _, records := range block.RecordsSet {
		batch := records.RecordBatch
		if batch == nil || batch.PartialTrailingRecord {
			break
		}
		for _, record := range batch.Records {
			if offset := batch.FirstOffset + record.OffsetDelta; !batch.Control && offset >= reached && offset < to {
				p.count(offset, p.queueOf(record, header))
			}
		}
		reached = max(reached, batch.LastOffset()+1)
	}
	p.advance(min(reached, to))
	return reached > from
}

// queueOf is the queue that a dead letter came from, or other when it does not say, or when there are too many.
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

// tell adds up what was counted, when all of it is known. A queue that has none left stays, with 0.
func (d *deadLetters) tell(now time.Time) {
	sums, others := map[string]int{}, 0
	for i := range d.partitions {
		p := &d.partitions[i]
		if !p.through || p.again != unknown {
			return
		}
		for _, b := range p.blocks {
			for queue, n := range b.counts {
				if _, known := d.counts[queue]; !known && len(d.counts) >= maxDeadLetterQueues {
					others += n
					continue
				} else if !known {
					d.counts[queue] = &held{}
				}
				sums[queue] += n
			}
		}
	}
	if others > 0 {
		sums[catalog.Other] += others
		if d.counts[catalog.Other] == nil {
			d.counts[catalog.Other] = &held{}
		}
	}
	for queue, h := range d.counts {
		h.set(float64(sums[queue]), now)
	}
}

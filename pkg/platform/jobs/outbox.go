package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	closing   = 2 * time.Second // for what waits when the jobs are closed
	repeating = time.Second     // until a record that the broker refused is tried again
)

// clientOptions are common to the outbox and the workers: both live on when the broker goes and comes back.
func clientOptions(brokers []string, id string) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.ClientID(id),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.AlwaysRetryEOF(), // a broker that goes away cuts connections on which it has answered nothing yet
		kgo.RetryBackoffFn(func(tries int) time.Duration { return min(time.Duration(tries)*100*time.Millisecond, time.Second) }),
	}
}

// outbox writes records, and goes on trying for as long as the process lives.
type outbox struct {
	client *kgo.Client
	failed func(error)
}

func openOutbox(brokers []string, failed func(error)) (*outbox, error) {
	client, err := kgo.NewClient(append(clientOptions(brokers, "platform-jobs"),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.UnknownTopicRetries(-1), // somebody will create it
		kgo.MaxBufferedRecords(1<<20),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	)...)
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return &outbox{client, failed}, nil
}

// write calls back when the record is written, and never if it is not when the outbox is closed.
func (o *outbox) write(r *kgo.Record, written func(*kgo.Record)) {
	o.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		switch {
		case err == nil:
			written(r)
		case errors.Is(err, kgo.ErrClientClosed):
		default:
			o.failed(fmt.Errorf("jobs: write to %s: %w", r.Topic, err))
			again := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp, Headers: r.Headers}
			time.AfterFunc(repeating, func() { o.write(again, written) })
		}
	})
}

func (o *outbox) waiting() int64 { return o.client.BufferedProduceRecords() }

func (o *outbox) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	_ = o.client.Flush(ctx) // what is not written now never will be
	o.client.Close()
}

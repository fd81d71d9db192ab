package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	closeTimeout = 2 * time.Second // to write what is buffered, when the outbox is closed
	rewriteAfter = time.Second     // after the broker has refused a record
)

// clientOptions are the options of the outbox and the workers: both survive a broker that restarts.
func clientOptions(brokers []string, id string) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.ClientID(id),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.AlwaysRetryEOF(), // a broker that stops cuts connections that have no response yet
		kgo.RetryBackoffFn(func(tries int) time.Duration { return min(time.Duration(tries)*100*time.Millisecond, time.Second) }),
	}
}

// outbox writes records, and retries as long as the process lives.
type outbox struct {
	client *kgo.Client
	failed func(error)
}

func openOutbox(brokers []string, failed func(error)) (*outbox, error) {
	client, err := kgo.NewClient(append(clientOptions(brokers, "platform-jobs"),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.UnknownTopicRetries(-1), // it will be created
		kgo.MaxBufferedRecords(1<<20),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	)...)
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return &outbox{client, failed}, nil
}

// write calls written when the record is acknowledged; never, if the outbox is closed before.
func (o *outbox) write(r *kgo.Record, written func(*kgo.Record)) {
	o.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		switch {
		case err == nil:
			written(r)
		case errors.Is(err, kgo.ErrClientClosed):
		default:
			o.failed(fmt.Errorf("jobs: write to %s: %w", r.Topic, err))
			again := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp, Headers: r.Headers}
			time.AfterFunc(rewriteAfter, func() { o.write(again, written) })
		}
	})
}

func (o *outbox) waiting() int64 { return o.client.BufferedProduceRecords() }

func (o *outbox) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = o.client.Flush(ctx) // what is not written now is lost
	o.client.Close()
}

package events

import (
	"log/slog"
	"slices"
)

// storedOffset is up to which offset a partition was counted, as Prometheus or Kafka has it, and of which topic of that
// name. An empty id is unknown: the brokers had none, or an older version has stored it.
type storedOffset struct {
	topicID string
	offset  int64
}

// of reports whether the offset is one of the topic with this id, as far as that is known.
func (s storedOffset) of(topic string) bool {
	return s.topicID == "" || topic == "" || s.topicID == topic
}

// ofTopic reports whether there is an offset of the topic with this id.
func ofTopic(stored []storedOffset, topic string) bool {
	return slices.ContainsFunc(stored, func(s storedOffset) bool { return s.of(topic) })
}

// startOffset decides where the counting of a partition starts.
//
// stored is what is known of it. bounds are those of the partition now, and topic the id of its topic. added says that the
// group has counted others before this one came: then its first record is the first one to count, whatever initial says.
func startOffset(stored []storedOffset, b bounds, topic string, added bool, initial string) (offset int64, found finding) {
	counted, known, other := int64(0), false, false
	for _, s := range stored {
		if !s.of(topic) {
			other = true
			continue
		}
		counted, known = max(counted, s.offset), true
	}
	switch {
	case known && counted < b.oldest:
		return b.oldest, finding{deleted, b.oldest - counted}
	case known && counted > b.newest:
		return b.newest, finding{truncated, counted - b.newest}
	case known:
		return counted, finding{}
	case other:
		return b.oldest, finding{problem: recreated}
	case initial == "newest" && !added:
		return b.newest, finding{}
	}
	return b.oldest, finding{}
}

// finding is what startOffset has found beside an offset.
type finding struct {
	problem string
	lost    int64 // records
}

const (
	deleted   = "records were deleted before they were counted"
	truncated = "the partition ends before what was counted: it has lost its last records"
	recreated = "the topic was deleted and created again: it is counted from its first record"
)

func (f finding) log(log *slog.Logger, id partitionID, start int64) {
	switch f.problem {
	case "":
	case recreated:
		log.Warn(f.problem, "topic", id.topic, "partition", id.partition, "start", start)
	default:
		log.Error(f.problem, "lost", f.lost, "topic", id.topic, "partition", id.partition, "start", start)
	}
}

package kafka

import (
	"cmp"
	"iter"
	"slices"

	"github.com/IBM/sarama"
)

// batches yields the batches of a response, and whether their records are messages: markers of transactions are none, and
// nobody gets the records of transactions that were aborted. A batch in the format of before Kafka 0.11 is nil.
func batches(block *sarama.FetchResponseBlock) iter.Seq2[*sarama.RecordBatch, bool] {
	return func(yield func(*sarama.RecordBatch, bool) bool) {
		ends := slices.SortedFunc(slices.Values(block.AbortedTransactions), func(a, b *sarama.AbortedTransaction) int {
			return cmp.Compare(a.FirstOffset, b.FirstOffset)
		})
		aborted := map[int64]bool{} // by producer, while its transaction lasts
		for _, records := range block.RecordsSet {
			batch := records.RecordBatch
			if batch == nil {
				if !yield(nil, false) {
					return
				}
				continue
			}
			if batch.PartialTrailingRecord {
				return
			}
			for len(ends) > 0 && ends[0].FirstOffset <= batch.LastOffset() {
				aborted[ends[0].ProducerID] = true
				ends = ends[1:]
			}
			if batch.Control {
				delete(aborted, batch.ProducerID)
			}
			if !yield(batch, !batch.Control && !(batch.IsTransactional && aborted[batch.ProducerID])) {
				return
			}
		}
	}
}

package aggregate

// Next is the offset up to which the shard has counted: the next one to read.
func (s *Shard) Next() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

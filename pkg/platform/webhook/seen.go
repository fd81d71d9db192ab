package webhook

import "sync"

// seen remembers keys: the last n at least, twice as many at the most.
type seen struct {
	mu         sync.Mutex
	n          int
	young, old map[string]struct{}
}

func newSeen(n int) *seen { return &seen{n: n, young: map[string]struct{}{}} }

// add returns false for a key that is remembered.
func (s *seen) add(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.young[key]; ok {
		return false
	}
	if _, ok := s.old[key]; ok {
		return false
	}
	if len(s.young) == s.n {
		s.young, s.old = map[string]struct{}{}, s.young
	}
	s.young[key] = struct{}{}
	return true
}

func (s *seen) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.young, key)
	delete(s.old, key)
}

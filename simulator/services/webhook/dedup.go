package webhook

import "sync"

// dedupCache remembers keys: at least the last n, at most twice as many.
type dedupCache struct {
	mu                sync.Mutex
	n                 int
	current, previous map[string]struct{}
}

func newDedupCache(n int) *dedupCache { return &dedupCache{n: n, current: map[string]struct{}{}} }

// add remembers a key; false if the key is remembered already.
func (s *dedupCache) add(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.current[key]; ok {
		return false
	}
	if _, ok := s.previous[key]; ok {
		return false
	}
	if len(s.current) == s.n {
		s.current, s.previous = map[string]struct{}{}, s.current
	}
	s.current[key] = struct{}{}
	return true
}

func (s *dedupCache) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.current, key)
	delete(s.previous, key)
}

package catalog

// DefaultClients is the number of clients that an exporter admits unless its configuration says otherwise.
const DefaultClients = 1000

// Sizes says how large a platform is.
type Sizes struct {
	// Clients is the number of active clients.
	Clients int `json:"clients"`
	// Events is the number of sale events that are exposed, over all clients.
	Events int `json:"events"`
}

// SizesFor assumes as many exposed sale events as clients: some have several at a time, others none.
func SizesFor(clients int) Sizes { return Sizes{Clients: clients, Events: clients} }

// Series is the maximum number of series of the metric on a platform of the given size. The exporters enforce it: further
// series are dropped and counted.
func (m *Metric) Series(s Sizes) int { return m.series(s, func(l *Label) int { return l.Present }) }

// TypicalSeries is how many series the metric has in ordinary use: two sale events for five clients, and of each open
// label as many values as usual.
func (m *Metric) TypicalSeries(s Sizes) int {
	s.Events = (s.Events*2 + 4) / 5
	return m.series(s, func(l *Label) int {
		if l.Typical > 0 {
			return l.Typical
		}
		return l.Present
	})
}

func (m *Metric) series(s Sizes, present func(*Label) int) int {
	n := 1
	for i := range m.Labels {
		l := &m.Labels[i]
		switch {
		case l.Name == "event": // a sale event belongs to one client, whose factor it replaces
			if m.LabelIndex("client") >= 0 {
				n = n / max(s.Clients, 1) * s.Events
			} else {
				n *= s.Events
			}
		case l.Name == "client" && l.Present == 0:
			n *= s.Clients
		case present(l) > 0:
			n *= present(l)
		case l.Closed():
			n *= len(l.Values)
		default:
			n *= l.Limit
		}
	}
	if m.Type == Histogram {
		n *= len(m.Buckets) + 3 // the bucket +Inf, _sum and _count
	}
	return n
}

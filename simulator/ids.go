package simulator

// ids assigns the primary keys, by table. The simulator assigns them itself, so that a duplicate key shows that a change with an unknown
// outcome had been committed. The keys of a failed change are not used again.
type ids map[string]uint64

// Keys that the shops assign.
const (
	products = "products"
	orders   = "orders"
)

func firstIDs() ids { return ids{products: 7_400_000_000_000, orders: 5_100_000_000_000} }

// of returns a key for a new row of the same kind as the one given.
func (i ids) of(r Row) uint64 { return i.next(r.table().title()) }

// next returns the next key of a name.
func (i ids) next(name string) uint64 {
	i[name]++
	return i[name]
}

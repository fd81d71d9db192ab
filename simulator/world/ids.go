package world

// IDs assigns the primary keys, by table. The simulator assigns them itself, so that a duplicate key shows that a change with an unknown
// outcome had been committed. The keys of a failed change are not used again.
type IDs map[string]uint64

// Keys that the shops assign.
const (
	Products = "products"
	Orders   = "orders"
)

// FirstIDs assigns the first keys of an empty database: they begin after a number. Those of categories always begin with 1, as
// GoodsCategories lists them.
func FirstIDs(after uint64) IDs {
	ids := IDs{Products: 7_400_000_000_000, Orders: 5_100_000_000_000}
	for _, t := range AllTables() {
		ids[t.Title()] = after
	}
	ids[Category{}.Table().Title()] = 0
	return ids
}

// Of returns a key for a new row of the same kind as the one given.
func (i IDs) Of(r Row) uint64 { return i.Next(r.Table().Title()) }

// Next returns the next key of a name.
func (i IDs) Next(name string) uint64 {
	i[name]++
	return i[name]
}

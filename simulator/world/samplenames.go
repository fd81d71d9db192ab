package world

import (
	"fmt"
	"strings"
)

// goodsCategory is a category of goods with its usual prices, in minor units of a currency like the dollar.
type goodsCategory struct {
	Slug, Name string
	low, high  int64
	Titles     [4]string
}

// GoodsCategories returns the categories; their ids are their places, from 1.
func GoodsCategories() []goodsCategory {
	return []goodsCategory{
		{"baby-clothing", "Baby clothing", 150, 900, [4]string{"Romper", "Sleepsuit, three pieces", "Knitted cardigan", "Body set"}},
		{"girls-clothing", "Girls' clothing", 200, 1800, [4]string{"Summer dress", "Denim skirt", "Rain jacket", "Leggings, two pairs"}},
		{"boys-clothing", "Boys' clothing", 200, 1800, [4]string{"Check shirt", "Cargo trousers", "Fleece jacket", "T-shirts, four pieces"}},
		{"maternity", "Maternity", 500, 3500, [4]string{"Nursing top", "Maternity jeans", "Winter coat", "Belly band"}},
		{"shoes", "Shoes", 300, 2500, [4]string{"First shoes", "Rubber boots", "Snow boots", "Sneakers"}},
		{"toys", "Toys", 200, 4000, [4]string{"Wooden blocks", "Train set", "Play kitchen", "Stacking rings"}},
		{"games-puzzles", "Games and puzzles", 200, 1500, [4]string{"Memory game", "Floor puzzle", "Board game", "Marble run"}},
		{"books", "Books", 50, 800, [4]string{"Picture book", "Board books, five", "First reader", "Activity book"}},
		{"strollers", "Strollers", 4500, 32000, [4]string{"Jogging stroller", "Twin stroller", "Umbrella stroller", "Pram"}},
		{"car-seats", "Car seats", 3000, 18000, [4]string{"Infant seat", "Booster seat", "Convertible seat", "Seat base"}},
		{"cribs-bedding", "Cribs and bedding", 800, 22000, [4]string{"Crib", "Toddler bed", "Sheet set", "Sleeping bag"}},
		{"feeding", "Feeding", 150, 6500, [4]string{"High chair", "Bottle set", "Breast pump", "Bibs, six pieces"}},
		{"bath-potty", "Bath and potty", 150, 2500, [4]string{"Baby bath", "Potty chair", "Hooded towels", "Bath toys"}},
		{"outdoor-play", "Outdoor play", 500, 15000, [4]string{"Balance bike", "Sand table", "Swing seat", "Scooter"}},
		{"costumes", "Costumes", 300, 2500, [4]string{"Dragon costume", "Pirate costume", "Ballet tutu", "Animal cape"}},
		{"electronics", "Electronics", 500, 9000, [4]string{"Baby monitor", "Night light", "Music player", "White noise machine"}},
	}
}

// FakeTitle returns the title of an item.
func FakeTitle(id, category uint64) string {
	all := GoodsCategories()
	if category == 0 || category > uint64(len(all)) {
		return fmt.Sprintf("Item No. %d", id)
	}
	return fmt.Sprintf("%s, No. %d", all[category-1].Titles[id%4], id)
}

// ClientName returns the unique name of the n-th client, from 0.
func ClientName(n int) string {
	first := [...]string{"Little Sprouts", "Tiny Treasures", "Second Swing", "Petits Pas", "Hand Me On", "Bright Buttons",
		"Growing Up", "Kinderkiste", "Puddle Jumpers", "Happy Hangers", "Pocket Full", "Round Again", "Small Steps", "Rainbow Rack",
		"Busy Bees", "Kangaroo Pouch", "Little Owls", "Sunny Side", "Twice Loved", "Seesaw"}
	second := [...]string{"Consignment", "Kids' Sale", "Exchange", "Consignment Co.", "Children's Market", "Dépôt", "Closet", "Collective",
		"Swap & Shop", "Marché", "Family Sale", "Twice Over", "Basar", "Resale"}
	name := first[n%len(first)] + " " + second[(n/len(first)+n%len(first))%len(second)]
	if round := n / (len(first) * len(second)); round > 0 {
		name += fmt.Sprintf(" No. %d", round+1)
	}
	return name
}

// SlugOf turns a name into letters, digits and dashes.
func SlugOf(name string) string {
	plain := strings.NewReplacer("é", "e", "ô", "o", "'", "", ".", "", "&", "and").Replace(strings.ToLower(name))
	return strings.Join(strings.FieldsFunc(plain, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }), "-")
}

// PlanNames returns what clients can subscribe to.
func PlanNames() []string { return []string{"starter", "standard", "premium"} }

// currencyOf returns the currency of a client, by its id; one of them has no decimals.
func currencyOf(client uint64) string {
	return [...]string{"USD", "CAD", "EUR", "JPY", "USD"}[(client-1)%5]
}

// Roles returns the roles of sessions.
func Roles() []string {
	return []string{"shopper", "consignor", "volunteer", "event_admin", "client_admin", "super_admin"}
}

// NoCategory is the category of an item that is missing.
const NoCategory = "other"

func shiftTypes() []string {
	return []string{"drop_off_sorting", "item_organization", "shopper_assistance", "general_help"}
}

// SyncKinds returns the kinds of sync runs.
func SyncKinds() []string { return []string{"products", "inventory", "orders", "email_address"} }

// Priorities returns the priorities of tickets, the most urgent first.
func Priorities() []string { return []string{"urgent", "high", "normal", "low"} }

// TicketCategories returns what tickets are about.
func TicketCategories() []string {
	return []string{"payment", "labels", "sync", "login", "drop-off", "printing", "reports"}
}

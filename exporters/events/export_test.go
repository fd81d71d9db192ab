package events

// ContractEvents are the types of the contract with the data of an event, for tests from outside.
func ContractEvents() [][2]string {
	events := make([][2]string, len(contract))
	for i, e := range contract {
		events[i] = [2]string{e.typ, e.data}
	}
	return events
}

package policy

import "testing"

// TestCapacity checks how many servers may hold a device for each way of lending it.
func TestCapacity(t *testing.T) {
	for sharing, want := range map[Sharing]uint32{Exclusive: 1, Shared: 4, Open: 0} {
		if got := (GPURule{Sharing: sharing, Places: 4}).Capacity(); got != want {
			t.Errorf("%s: %d, want %d", sharing, got, want)
		}
	}
}

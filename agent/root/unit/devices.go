package unit

import "strings"

// deviceVariables are the unit's variables that say which devices the server holds. They
// are how a launcher that was started again knows them. Without devices there are none.
func deviceVariables(devices []Device) []string {
	if len(devices) == 0 {
		return nil
	}
	var names, nodes []string
	for _, d := range devices {
		names = append(names, d.Name)
		nodes = append(nodes, strings.Join(plainPaths(d.Nodes), " "))
	}
	return []string{envDevices + "=" + strings.Join(names, ","), envNodes + "=" + strings.Join(nodes, ",")}
}

// plainPaths leaves out what would be read back as something else. A device can do without
// its nodes: they are what it is known by if its name is gone.
func plainPaths(nodes []string) (plain []string) {
	for _, n := range nodes {
		if n != "" && !strings.ContainsAny(n, " ,") {
			plain = append(plain, n)
		}
	}
	return plain
}

// readDevices is the inverse of deviceVariables.
func readDevices(names, nodes string) (devices []Device) {
	if names == "" {
		return nil
	}
	each := strings.Split(nodes, ",")
	for i, name := range strings.Split(names, ",") {
		d := Device{Name: name}
		if i < len(each) && each[i] != "" {
			d.Nodes = strings.Split(each[i], " ")
		}
		devices = append(devices, d)
	}
	return devices
}

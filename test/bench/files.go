package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

const (
	jupyterImage   = "localhost/gifford/jupyterlab:latest"
	jupyterArchive = "/srv/images/jupyterlab.tar"
	filesProfile   = "bench-files"
	fileRounds     = 10
)

// workload is a Python program that runs inside a container and prints how long its work
// took and a count of what it did, which must be the same on both sides. The page cache is warm: emptying it would slow
// the machine that runs the host.
type workload struct{ name, program string }

const imports = "import jupyterlab.labapp, jupyter_server.serverapp, jupyterhub.singleuser.app, IPython, " +
	"ipykernel.kernelapp, nbconvert, sys; done = len(sys.modules)"

var workloads = []workload{
	// No compiled file is read or written: every module is searched, read and compiled.
	{"import-cold-pycache", "sys.dont_write_bytecode, sys.pycache_prefix = True, '/proc/nowhere'\n" + imports},
	{"import", "sys.dont_write_bytecode = True\n" + imports},
	{"stat-walk", `import os
done = 0
directories = ["/usr"]
while directories:
    with os.scandir(directories.pop()) as entries:
        for entry in entries:
            entry.stat(follow_symlinks=False)
            done += 1
            if entry.is_dir(follow_symlinks=False): directories.append(entry.path)`},
	{"open-read-walk", `import os
done = 0
for directory, _, names in os.walk("/usr/lib/python3"):
    for name in names:
        try:
            with open(os.path.join(directory, name), "rb") as f: done += len(f.read(4096))
        except FileNotFoundError: pass`},
}

// idle is what both containers run meanwhile.
var idle = []string{"sh", "-c", "exec sleep infinity"}

// result is what a workload prints.
type result struct {
	Seconds float64
	CPU     float64 // seconds of the process, which the machine's other work lengthens less
	Done    int
}

// fileSystem compares an image seen through a view with the peer's own copy of it in
// native overlayfs.
func fileSystem(ctx context.Context, b *bench) error {
	h := b.host
	progress("starting containers of the JupyterLab image")
	err := h.addProfile(ctx, fmt.Sprintf("[profile.%s]\nimage = %q\narchive = %q\ncommand = [%q, %q, %q]\n",
		filesProfile, jupyterImage, jupyterArchive, idle[0], idle[1], idle[2]), filesProfile)
	if err != nil {
		return err
	}
	who, err := h.member(ctx)
	if err != nil {
		return err
	}
	if _, err := h.start(ctx, who, filesProfile); err != nil {
		return err
	}
	p, err := h.newPlain(ctx)
	if err != nil {
		return err
	}
	if _, err := p.start(ctx, h, jupyterArchive, jupyterImage, idle); err != nil {
		return err
	}
	for _, w := range workloads {
		if err := compare(ctx, b, w, "jupyter-"+who.name+".service", p.name); err != nil {
			return err
		}
	}
	return errors.Join(h.stop(ctx, who), p.end(ctx, h))
}

// compare runs a workload on both sides, who goes first turn about.
func compare(ctx context.Context, b *bench, w workload, ourUnit, peerUnit string) error {
	var wall, cpu [2][]float64
	for round := range fileRounds + 1 {
		var results [2]result
		for i := range results {
			side := (i + round) % 2
			r, err := inContainer(ctx, b.host, [2]string{ourUnit, peerUnit}[side], w)
			if err != nil {
				return err
			}
			results[side] = r
		}
		if diff := results[0].Done - results[1].Done; diff > 50 || diff < -50 {
			return fmt.Errorf("%s is %d in our container and %d in the peer's: they do not do the same", w.name,
				results[0].Done, results[1].Done)
		}
		for side, r := range results {
			if round > 0 { // the first one fills the page cache
				wall[side], cpu[side] = append(wall[side], r.Seconds), append(cpu[side], r.CPU)
			}
		}
	}
	return errors.Join(b.figures.add("files-"+w.name, "s", peerName, wall[0], wall[1]),
		b.figures.add("files-"+w.name+"-cpu", "s", peerName, cpu[0], cpu[1]))
}

// inContainer runs a workload as the notebook user in the container of a unit, and outside
// the unit's limits, which the peer's does not have.
func inContainer(ctx context.Context, h *host, unit string, w workload) (result, error) {
	const enter = `
		read -r pid <"$(echo /sys/fs/cgroup$(systemctl show --value -p ControlGroup "$1"
			)/libpod-payload-*/cgroup.procs)"
		exec nsenter -t $pid -m -u -i -n -p -U -r -w --setuid 1000 --setgid 100 python3 -c "$2"`
	program := "import json, sys, time\nbegun, cpu = time.perf_counter(), time.process_time()\n" + w.program +
		"\nprint(json.dumps({'Seconds': time.perf_counter() - begun, 'CPU': time.process_time() - cpu, 'Done': done}))"
	out, err := h.run(ctx, enter, unit, program)
	if err != nil {
		return result{}, err
	}
	var r result
	last := out[strings.LastIndex(out, "\n")+1:]
	if err := json.Unmarshal([]byte(last), &r); err != nil {
		return r, fmt.Errorf("%s printed %q: %w", w.name, out, err)
	}
	return r, nil
}

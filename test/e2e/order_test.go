//go:build e2e

package e2e

import "testing"

// order is what is tested on one host, in this order: what the main job needs comes first, so that a hub on which
// nothing works fails at once; what changes the host's settings or fills its disk comes late. Each test leaves the
// host as it found it, but for members' homes. A function test… that is not named here fails the guard's test.
var order = []struct {
	name string
	test func(t *testing.T)
}{
	// A member's day.
	{"AliceRunsACellInJupyterLab", testAliceRunsACellInJupyterLab},
	{"OldSingleUserServer", testOldSingleUserServer},
	{"RefusedAtTheDoor", testRefusedAtTheDoor},
	{"UserNameIsMapped", testUserNameIsMapped},
	{"NobodyIsAskedToSignIn", testNobodyIsAskedToSignIn},
	{"LogoutEndsNotebookSession", testLogoutEndsNotebookSession},
	{"GroupIsCheckedAgain", testGroupIsCheckedAgain},
	{"Leaving", testLeaving},
	{"SessionsSurviveARestart", testSessionsSurviveARestart},

	// The unit, and who sees what of whom.
	{"Unit", testUnit},
	{"Files", testFiles},
	{"Network", testNetwork},
	{"IsolatedNetwork", testIsolatedNetwork},
	{"PortOfTheAPI", testPortOfTheAPI},
	{"FailuresAreClear", testFailuresAreClear},
	{"AccountsOfEveryKind", testAccountsOfEveryKind},
	{"UnitEndsByItself", testUnitEndsByItself},
	{"EndlessStop", testEndlessStop},
	{"AliceAndBob", testAliceAndBob},
	{"ForgedSignals", testForgedSignals},

	// The hub ends, and what it carries goes on.
	{"HubEndsUnderARunningCell", testHubEndsUnderARunningCell},
	{"ReloadKeepsWebSockets", testReloadKeepsWebSockets},
	{"ReloadOfABrokenHub", testReloadOfABrokenHub},

	// The administrator's commands.
	{"Services", testServices},
	{"Audit", testAudit},
	{"Commands", testCommands},
	{"Check", testCheck},
	{"BadSettings", testBadSettings},
	{"TLS", testTLS},
	{"StoppedServer", testStoppedServer},
	{"Sizes", testSizes},

	// JupyterHub's features.
	{"Cull", testCull},
	{"NamedServer", testNamedServer},
	{"Service", testService},
	{"BackupAndToken", testBackupAndToken},
	{"Sharing", testSharing},
	{"TokenPage", testTokenPage},
	{"PagesInTheBrowser", testPagesInTheBrowser},
	{"StrangersPage", testStrangersPage},
	{"OriginForEachMember", testOriginForEachMember},

	// Images, and what members install and store.
	{"PullAndRollBack", testPullAndRollBack},
	{"PullRefused", testPullRefused},
	{"Pinned", testPinned},
	{"PrivateRegistry", testPrivateRegistry},
	{"Import", testImport},
	{"FullDisk", testFullDisk},
	{"HostileArchive", testHostileArchive},
	{"HostileRegistry", testHostileRegistry},
	{"NewerImage", testNewerImage},
	{"ImagesPage", testImagesPage},
	{"ImagesAreTheKeepers", testImagesAreTheKeepers},
	{"PersistentServer", testPersistentServer},
	{"UserPackagesPersist", testUserPackagesPersist},
	{"Shell", testShell},
	{"ResetInTheBrowser", testResetInTheBrowser},
	{"Mounts", testMounts},
	{"MountTricks", testMountTricks},
	{"DiskUse", testDiskUse},
	{"LowDisk", testLowDisk},
	{"View", testView},
	{"SlowWays", testSlowWays},
	{"LeftBehind", testLeftBehind},

	// It gives the host devices, and takes them away again.
	{"GPUs", testGPUs},
}

// TestHost tests the installed package on the host that test/e2e/run has booted. One of them alone:
// GIFFORD_E2E_RUN='^TestHost$/^Cull$' test/e2e/run trixie.
func TestHost(t *testing.T) {
	for _, entry := range order {
		t.Run(entry.name, entry.test)
	}
}

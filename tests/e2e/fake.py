"""tests/support/er_fake as the API server, where no cluster is needed."""
import json

import programs  # first: it says where the other is
from er_fake_client import ErFake, kubeconfig


class Fake(ErFake):
    def __init__(self):
        super().__init__(programs.BIN_DIR)

    def events(self):
        """(id of its record, Event) of all versions of Events there ever were, in order."""
        for change in self.history():
            if change["type"] != "DELETED" and change["kind"] == "Event":
                meta = change["object"]["metadata"]
                yield f'{meta["uid"]}-{meta["resourceVersion"]}', change["object"]

    def ids(self):
        """The ids of the records that all Events there ever were must become, in order."""
        return [name for name, _ in self.events()]

    def kubeconfig(self, path):
        path.write_text(kubeconfig(self.api))

    def config(self, folder, **more):
        """The text of a configuration whose API server this is; the kubeconfig goes into the folder."""
        self.kubeconfig(folder / "kubeconfig")
        return json.dumps({"cluster": "e2e", "log": {"level": "info", "format": "json"},
                           "admin": {"listen": "127.0.0.1:0"},
                           "kubernetes": {"kubeconfig": str(folder / "kubeconfig")}, **more})

"""Google's own client against server.py: proof that the stand-in speaks as the service does.

usage: client.py BASE SERVICE_ACCOUNT_FILE"""
import datetime
import json
import sys
import time

import google.auth.transport.requests
from google.auth import jwt
from google.api_core.exceptions import BadRequest
from google.cloud import logging, logging_v2
from google.oauth2 import service_account

BASE, KEY = sys.argv[1:3]
WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
RESOURCE = {"project_id": "project-1", "location": "l", "cluster_name": "c"}


class Credentials(service_account.Credentials):
    """google-auth writes its own endpoint into the audience, whatever the file says; the service takes
    both, server.py only the file's."""

    def _make_authorization_grant_assertion(self):
        now = int(time.time())
        return jwt.encode(self._signer, {
            "iss": self._service_account_email, "scope": " ".join(self._scopes),
            "aud": self._token_uri, "iat": now, "exp": now + 3600})


logging_v2._instrumentation_emitted = True  # no entry about the client itself
credentials = Credentials.from_service_account_file(
    KEY, scopes=["https://www.googleapis.com/auth/logging.write"])
credentials.refresh(google.auth.transport.requests.Request())
client = logging.Client(project="project-1", credentials=credentials, _use_grpc=False,
                        client_options={"api_endpoint": BASE})
log = client.logger("by-google")
log.log_struct({"message": "written"}, severity="WARNING", insert_id="i1",
               timestamp=WHEN,
               resource=logging.Resource(type="k8s_cluster", labels=RESOURCE))
try:
    log.log_struct({"message": "refused"}, severity="WARNING", insert_id="i2",
                   timestamp=WHEN,
                   resource=logging.Resource(type="nonsense", labels={}))
except BadRequest as error:
    print(json.dumps({"refused": error.message}))

"""What a person asks of Aria Automation."""

import requests

URL = "http://10.91.0.2:8080"
ID = "4c8e7d6f-1111-4222-8333-444455556666"
MACHINE = "0b1f2c3d-1111-4222-8333-444455556666"

login = f"{URL}/csp/gateway/am/api/login?access_token"
requests.post(login, json={"username": "eve", "password": "wrong", "domain": "lab.test"})
account = {"username": "bob", "password": "B0b!aria", "domain": "lab.test"}
refresh = requests.post(login, json=account).json()["refresh_token"]
token = requests.post(f"{URL}/iaas/api/login", json={"refreshToken": refresh}).json()["token"]
bob = requests.Session()
bob.headers["Authorization"] = f"Bearer {token}"
bob.get(f"{URL}/deployment/api/deployments")
wanted = {"deploymentName": "shop", "projectId": ID, "inputs": {"adminPassword": "Gu3st!pw"}}
bob.post(f"{URL}/catalog/api/items/{ID}/request", json=wanted)
day2 = f"{URL}/deployment/api/deployments/{ID}/resources/{MACHINE}/requests"
bob.post(day2, json={"actionId": "Cloud.vSphere.Machine.PowerOff", "reason": "patch"})
bob.post(day2, json={"actionId": "Cloud.vSphere.Machine.Remote.PowerOn"})
bob.post(f"{URL}/iaas/api/machines/{MACHINE}/operations/reboot")
bob.post(f"{URL}/iaas/api/machines", json={"name": "db", "flavor": "small"})
bob.delete(f"{URL}/deployment/api/deployments/{ID}")
bob.post(f"{URL}/csp/gateway/am/api/auth/logout", json={"idToken": "1d-t0ken"})

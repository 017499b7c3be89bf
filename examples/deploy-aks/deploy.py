import json

from scoring_runtime.deploy import (
    AksCompute,
    AksWebservice,
    ComputeTarget,
    Environment,
    InferenceConfig,
    Model,
    Workspace,
)

ws = Workspace.from_config()
model = Model.register(ws, model_name="my-model", model_path="model.json")

env = Environment(name="project_environment")
inference_config = InferenceConfig(environment=env, source_directory="./source_dir", entry_script="./score.py")
deployment_config = AksWebservice.deploy_configuration(cpu_cores=1, memory_gb=1, token_auth_enabled=True)

# the context of a kubeconfig, in place of a cluster's resource group and name
attach_config = AksCompute.attach_configuration(context="my-cluster")
aks_target = ComputeTarget.attach(ws, "myaks", attach_config)

service = Model.deploy(ws, "myservice", [model], inference_config, deployment_config, aks_target, overwrite=True)
service.wait_for_deployment(show_output=True)
print(service.state, service.run(json.dumps({"data": [1, 2.5]})))
token, refresh_by = service.get_token()

service.delete()

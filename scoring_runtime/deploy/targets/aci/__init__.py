"""Services as one container each: on a host of ours through Docker's API, or as documents for Azure."""
